"""Flags: which variant an account draws."""

from __future__ import annotations

from pydantic import ConfigDict, Field

from serving.wire.base import Answered


class FlagOut(Answered):
    """The variant of an account; that it was told is on record before this answer was sent."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "flag": "call_script",
                    "version": "call_script@1-0123456789ab",
                    "account": "account-00007",
                    "variant": "usual",
                    "exposed": True,
                }
            ]
        }
    )
    flag: str
    version: str = Field(description="Of the flag: name, number and hash of its content.")
    account: str
    variant: str = Field(description="The same for the account while the weights stay.")
    exposed: bool = Field(description="False: it is not for the account, who gets what others get.")
