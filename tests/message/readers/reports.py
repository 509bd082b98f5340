"""What Python finds in reports: an array of messages in base64 on standard input."""

import base64
import email
import email.policy
import json
import sys


def group(message):
    return [[name.lower(), str(value)] for name, value in message.items()]


def part(one):
    kind = one.get_content_type()
    if kind == "message/delivery-status":
        return [kind, [group(inner) for inner in one.get_payload()]]
    if one.get_content_maintype() == "message":
        return [kind, [group(inner) for inner in one.get_payload()]]
    octets = one.get_payload(decode=True)
    return [kind, octets.decode("utf-8", "replace").replace("\r\n", "\n")]


def report(octets):
    message = email.message_from_bytes(octets, policy=email.policy.default)
    return {
        "header": group(message),
        "type": message.get_content_type(),
        "reportType": message.get_param("report-type"),
        "defects": [
            type(defect).__name__ for one in message.walk() for defect in one.defects
        ],
        "parts": [part(one) for one in message.iter_parts()],
    }


json.dump([report(base64.b64decode(one)) for one in json.load(sys.stdin)], sys.stdout)
