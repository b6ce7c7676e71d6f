"""Note of what retention removed, signed by a writer: a backup that is named there was not deleted by a stranger."""

from collections.abc import Sequence
from typing import Annotated

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from pydantic import AwareDatetime, BaseModel, Field, ValidationError

from harness.core.errors import Unreadable
from harness.repository.format.commit import STRICT, Predecessor
from harness.repository.format.layout import ESTATE, FORMAT
from harness.repository.format.manifest import canonical, explained
from harness.signing import read_envelope, sign

KIND = "application/vnd.blackstart.expiry+json"
LARGEST = 1 << 20  # bytes of a note
MOST = 4096  # backups in one


class Expiry(BaseModel):
    """The backups that were removed because they had expired, by number, name and digest of their COMMIT."""

    model_config = STRICT

    format: Annotated[str, Field(pattern=rf"^{FORMAT}$")] = FORMAT
    estate: Annotated[str, Field(pattern=rf"^{ESTATE.pattern}$")]
    at: AwareDatetime
    backups: Annotated[tuple[Predecessor, ...], Field(max_length=MOST)]

    def signed(self, key: Ed25519PrivateKey) -> bytes:
        """Return the envelope with this note, signed."""
        return sign(KIND, canonical(self.model_dump()), [key])


def read_expiry(text: bytes, estate: str, writers: Sequence[Ed25519PublicKey]) -> Expiry:
    """Return the note in `text` if a writer signed it for this estate; raises Unreadable for anything else."""
    envelope = read_envelope(text, KIND)
    envelope.signed_by(writers)
    try:
        note = Expiry.model_validate_json(envelope.payload)
    except ValidationError as error:
        raise Unreadable(f"expiry: malformed ({explained(error)})") from None
    if note.estate != estate:
        raise Unreadable(f"expiry: of estate {note.estate}")
    return note
