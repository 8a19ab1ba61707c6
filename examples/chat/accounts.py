"""Who may log in, and the tokens that prove it."""

import time
from typing import Annotated, Final

import jwt
from fastapi import APIRouter, Depends, HTTPException
from fastapi.requests import HTTPConnection
from fastapi.security import OAuth2PasswordBearer, OAuth2PasswordRequestForm
from pwdlib import PasswordHash
from pydantic import BaseModel

from protocol import User
from protocol.middleware.tokens import InvalidToken, TokenReader

ALGORITHM: Final = "HS256"

# Two demo users. The hashes are argon2's, of "wonderland" and "builder".
USERS: Final = {
    "alice": "$argon2id$v=19$m=65536,t=3,p=4$tMl4qOvK7MI6UcKyoEPtNA$lCsSv1gYyNwclPER2QS4AwUa27ppA9uMV2Xac3bxsUM",
    "bob": "$argon2id$v=19$m=65536,t=3,p=4$gNfPANshOuxQSsPxsO/2pQ$3fAdsJFI1NLlaYQqJ1+XyyZMXmCV41UDtm7647uTAHw",
}


class AccessToken(BaseModel):
    """An OAuth2 access token."""

    access_token: str
    token_type: str = "bearer"
    expires_in: int


class Accounts:
    """Checks passwords and tokens; ``secret`` signs the tokens, which last for ``seconds``."""

    def __init__(self, secret: str, seconds: float) -> None:
        self._secret = secret
        self._seconds = seconds
        self._reader = TokenReader(secret, algorithms=(ALGORITHM,))
        self._hasher = PasswordHash.recommended()
        # Compared with where there is no such user, so that an answer takes the same time.
        self._nobody = USERS["alice"]

    def login(self, name: str, password: str) -> bool:
        """Whether the password is the user's. It takes as long for a user that does not exist."""
        right = self._hasher.verify(password, USERS.get(name, self._nobody))
        return right and name in USERS

    def token(self, name: str) -> AccessToken:
        """A fresh token for a user."""
        now = time.time()
        claims = {"sub": name, "iat": int(now), "exp": int(now + self._seconds)}
        return AccessToken(
            access_token=jwt.encode(claims, self._secret, ALGORITHM), expires_in=int(self._seconds)
        )

    def user(self, token: str) -> User:
        """Who a token is for. Raises 401."""
        try:
            return self._reader.read(token, time.time()).user
        except InvalidToken:
            raise HTTPException(401, "Invalid token", {"WWW-Authenticate": "Bearer"}) from None


router = APIRouter()
bearer = OAuth2PasswordBearer("token")


async def accounts_of(connection: HTTPConnection) -> Accounts:
    """The accounts of the application that a request is for."""
    found: Accounts = connection.app.state.accounts
    return found


AccountsOfApp = Annotated[Accounts, Depends(accounts_of)]


async def current_user(token: Annotated[str, Depends(bearer)], accounts: AccountsOfApp) -> User:
    """Who the token of a request is for. Raises 401."""
    return accounts.user(token)


@router.post("/token")
def token(form: Annotated[OAuth2PasswordRequestForm, Depends()], accounts: AccountsOfApp) -> AccessToken:
    """The OAuth2 password form for a token."""
    if not accounts.login(form.username, form.password):
        raise HTTPException(401, "Wrong name or password", {"WWW-Authenticate": "Bearer"})
    return accounts.token(form.username)
