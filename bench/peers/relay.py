"""The relay that somebody would write in Python: aiosmtpd, a token at each login, and requests.post, which
holds the event loop: one message at a time. Arguments: certificate, key, the cloud's base URL, port.
"""

import asyncio
import base64
import ssl
import sys
from urllib.parse import quote

import requests
from aiosmtpd.smtp import SMTP, AuthResult

CERTIFICATE, KEY, CLOUD, PORT = sys.argv[1:5]


def request_token(username, secret):
    """As a library of Entra does: a client credentials request."""
    tenant, client = username.split("@", 1)
    response = requests.post(
        f"{CLOUD}/entra/{tenant}/oauth2/v2.0/token",
        data={
            "grant_type": "client_credentials",
            "client_id": client,
            "client_secret": secret,
            "scope": "https://graph.microsoft.com/.default",
        },
        timeout=30,
    )
    response.raise_for_status()
    return response.json()["access_token"]


def authenticate(_server, session, _envelope, _mechanism, login):
    try:
        session.token = request_token(login.login.decode(), login.password.decode())
    except (requests.RequestException, KeyError, ValueError):
        return AuthResult(success=False)
    return AuthResult(success=True)


class Handler:
    async def handle_DATA(self, _server, session, envelope):
        response = requests.post(
            f"{CLOUD}/graph/v1.0/users/{quote(envelope.mail_from)}/sendMail",
            data=base64.b64encode(envelope.content),
            headers={
                "Authorization": f"Bearer {session.token}",
                "Content-Type": "text/plain",
            },
            timeout=30,
        )
        if response.status_code != 202:
            return f"554 Graph answered {response.status_code}"
        return "250 OK"


async def main():
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(CERTIFICATE, KEY)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(
        lambda: SMTP(
            Handler(),
            loop=loop,
            tls_context=context,
            require_starttls=True,
            auth_required=True,
            authenticator=authenticate,
        ),
        "127.0.0.1",
        int(PORT),
    )
    await server.serve_forever()


asyncio.run(main())
