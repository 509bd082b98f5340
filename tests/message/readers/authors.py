"""Whom Python's two parsers find in From and Sender: an array of headers in base64 on standard input."""

import base64
import email
import email.policy
import json
import sys
from email.utils import getaddresses, parseaddr


def legacy(message, name):
    """email.utils, on what the policy compat32 gives."""
    values = [str(value) for value in message.get_all(name, [])]
    found = [address for _, address in getaddresses(values)]
    try:
        found += [address for _, address in getaddresses(values, strict=False)]
    except TypeError:
        pass  # Python before 3.11.9 knows no `strict`.
    return found + [parseaddr(value)[1] for value in values]


def modern(message, name):
    """The parser of email.policy.default."""
    found = []
    for value in message.get_all(name, []):
        found += [address.addr_spec for address in value.addresses]
    return found


def attempt(read, header, policy, name):
    try:
        return read(email.message_from_bytes(header, policy=policy), name)
    except Exception:  # A reader that gives up shows nobody.
        return []


headers = [base64.b64decode(header) for header in json.load(sys.stdin)]
json.dump(
    [
        {
            name: {
                "legacy": attempt(legacy, header, email.policy.compat32, name),
                "modern": attempt(modern, header, email.policy.default, name),
            }
            for name in ("from", "sender")
        }
        for header in headers
    ],
    sys.stdout,
)
