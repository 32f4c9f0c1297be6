"""The first key of an installation: known to whoever set it up, a row like every other from then on."""

from __future__ import annotations

from interplay.bootstrap import PROJECT, Platform, new_id
from interplay.use_cases.manage_keys import ManageKeys


async def ensure_first_key(platform: Platform, name: str, secret: str) -> bool:
    """Makes an administrator's key of this secret. False: it is known here; one that was revoked stays so."""
    tenancy = platform.tenancy
    made = await ManageKeys(tenancy.keys, platform.clock, new_id).first(PROJECT, name, secret)
    await tenancy.snapshots.refresh()
    return made
