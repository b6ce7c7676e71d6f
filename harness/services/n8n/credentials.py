"""Decryption of n8n's credentials with its encryption key, which shows that each can be used after a restore.

Formats of n8n 2.41, packages/core/src/encryption: `cipher.ts`, `aes-256-cbc.ts` (as OpenSSL's `enc`), `aes-256-gcm.ts`.
A credential is `ID:BASE64`, encrypted with the data key of that row of `deployment_key`, which n8n's key wraps, or
`BASE64`, with the data key of the row for aes-256-cbc, and only where there is none with n8n's key itself
(`getLegacyKey` in packages/cli/src/encryption/key-manager.service.ts; n8n makes at most one such row).
"""

import base64
import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CBC
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.padding import PKCS7

VERSION = b"\x01"
INFO = b"n8n-encryption-v1"
KEY, NONCE, SALT, TAG = 32, 12, 32, 16  # bytes
RAW = re.compile("[0-9a-fA-F]{64}")  # a data key as it is
IN_CBC = "U2FsdGVk"  # begin of what `aes-256-cbc.ts` encrypted
QUOTED = re.compile(r"""(["'])(.*)\1""")


@dataclass(frozen=True, slots=True)
class DataKey:
    """A data key of the table deployment_key, as it is stored there, and the algorithm that it is for."""

    wrapped: str
    algorithm: str


def as_n8n_reads(setting: str) -> str:
    """Return a setting as n8n reads it from its environment or a file: without white space and quotes around it."""
    found = QUOTED.fullmatch(stripped := setting.strip())
    return found[2] if found else stripped


def is_readable(data: str, key: str, data_keys: Mapping[str, DataKey]) -> bool:
    """Return whether n8n with encryption key `key` can read a credential. `data_keys`: by their id."""
    try:
        return isinstance(json.loads(_decrypted(data, key, data_keys)), dict)
    except (ValueError, InvalidTag, KeyError):
        return False


def is_locked(one: DataKey, key: str) -> bool:
    """Return whether n8n with encryption key `key` cannot use a data key."""
    try:
        return not _unwrapped(one.wrapped, key)
    except (ValueError, InvalidTag):
        return True


def _decrypted(data: str, key: str, data_keys: Mapping[str, DataKey]) -> bytes:
    """Return the plaintext. Raises ValueError, InvalidTag, KeyError for an unknown data key."""
    identifier, colon, rest = data.partition(":")
    if colon:
        return _opened(rest, data_keys[identifier], key)
    for one in data_keys.values():
        if one.algorithm == "aes-256-cbc":
            return _opened(data, one, key)
    return _open_cbc(data, key)


def _opened(data: str, one: DataKey, key: str) -> bytes:
    return {"aes-256-cbc": _open_cbc, "aes-256-gcm": _open_gcm}[one.algorithm](data, _unwrapped(one.wrapped, key))


def _unwrapped(wrapped: str, key: str) -> str:
    """Return a data key. Raises ValueError, InvalidTag.

    Earlier versions stored it as it is, or encrypted with n8n's key in CBC: n8n wraps these anew at its start
    (`recoverLegacyDek`).
    """
    if wrapped == key or RAW.fullmatch(wrapped):
        return wrapped
    if wrapped.startswith(IN_CBC):
        found = _open_cbc(wrapped, key).decode()
        if not RAW.fullmatch(found):
            raise ValueError("no data key")
        return found
    return _open_gcm(wrapped, hashlib.sha256(key.encode()).hexdigest()).decode()


def _open_cbc(data: str, key: str) -> bytes:
    """Return the plaintext of `Salted__`, 8 bytes of salt, ciphertext. Raises ValueError."""
    raw = base64.b64decode(data)
    # JavaScript's encoding `binary` keeps the low byte of each UTF-16 unit.
    password = key.encode("utf-16-le")[::2] + raw[8:16]
    made = b""
    while len(made) < KEY + AES.block_size // 8:  # EVP_BytesToKey with MD5, one round
        made += hashlib.md5(made[-16:] + password, usedforsecurity=False).digest()
    decryptor = Cipher(AES(made[:KEY]), CBC(made[KEY:])).decryptor()
    padded = decryptor.update(raw[16:]) + decryptor.finalize()
    unpadder = PKCS7(AES.block_size).unpadder()
    return unpadder.update(padded) + unpadder.finalize()


def _open_gcm(data: str, key: str) -> bytes:
    """Return the plaintext of version, salt, tag, ciphertext; `key` in hex. Raises ValueError, InvalidTag."""
    raw = base64.b64decode(data)
    start, tagged, sealed = len(VERSION), len(VERSION) + SALT, len(VERSION) + SALT + TAG
    if raw[:start] != VERSION:
        raise ValueError("no such version")
    derived = HKDF(SHA256(), KEY + NONCE, raw[start:tagged], INFO).derive(bytes.fromhex(key))
    return AESGCM(derived[:KEY]).decrypt(derived[KEY:], raw[sealed:] + raw[tagged:sealed], None)
