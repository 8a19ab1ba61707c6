"""Applications that serve one protocol and nothing else."""

from fastapi import FastAPI

from protocol import MessageProtocol


def served(chat: MessageProtocol) -> FastAPI:
    app = FastAPI()
    app.include_router(chat.router)
    return app
