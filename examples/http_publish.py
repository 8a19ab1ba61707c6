"""Publish from an HTTP endpoint to everybody who listens on a socket.

Run it with ``protocol run examples.http_publish:app``, listen at ``ws://127.0.0.1:8000/ws/berlin``, and send
``curl -X POST http://127.0.0.1:8000/cities/berlin/weather -H 'content-type: application/json' -d '{"celsius": 21.5}'``.
"""

from typing import Annotated

from fastapi import FastAPI, Path
from pydantic import BaseModel

from protocol import Connection, Message, MessageProtocol


class Weather(Message, type="weather"):
    city: str
    celsius: float


class Report(BaseModel):
    celsius: float


weather = MessageProtocol("Weather", path="/ws/{room}", sends=Weather)


@weather.room("{city}")
async def city(connection: Connection, city: str) -> None: ...


@weather.on_connect
async def listen(connection: Connection) -> None:
    await connection.join(connection.path_params["room"])


app = FastAPI()
app.include_router(weather.router)


@app.post("/cities/{city}/weather", status_code=202)
async def report(city: Annotated[str, Path(pattern="^[a-z]{1,64}$")], report: Report) -> dict[str, int]:
    delivery = await weather.rooms[city].publish(Weather(city=city, celsius=report.celsius))
    return {"receivers": delivery.receivers}
