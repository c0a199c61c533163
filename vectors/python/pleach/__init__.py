"""A verifier of Pleach's formats, written from docs/protocol.md and docs/proof-format.md alone.

Comments name the section of the page that they implement: "protocol.md, Genesis" or "proof-format.md, Encoding".
Whatever is refused raises `codec.Refused`, whose `reason` is the name of the reason.
"""
