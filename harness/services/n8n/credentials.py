"""Decryption of n8n's credentials with its encryption key, which shows that each can be used after a restore.

Formats of n8n 2.41, packages/core/src/encryption: `cipher.ts`, `aes-256-cbc.ts` (as OpenSSL's `enc`), `aes-256-gcm.ts`.
A credential is `BASE64`, encrypted with n8n's key itself, or `ID:BASE64`, with the data key of that row of
`deployment_key`, which n8n's key wraps.
"""

import base64
import hashlib
import json
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


@dataclass(frozen=True, slots=True)
class DataKey:
    """A data key of the table deployment_key, as n8n's key wraps it, and the algorithm that it is for."""

    wrapped: str
    algorithm: str


def is_readable(data: str, key: str, data_keys: Mapping[str, DataKey]) -> bool:
    """Return whether n8n with encryption key `key` can read a credential. `data_keys`: by their id."""
    try:
        return isinstance(json.loads(_decrypted(data, key, data_keys)), dict)
    except (ValueError, InvalidTag, KeyError):
        return False


def _decrypted(data: str, key: str, data_keys: Mapping[str, DataKey]) -> bytes:
    """Return the plaintext. Raises ValueError, InvalidTag, KeyError for an unknown data key."""
    identifier, colon, rest = data.partition(":")
    if not colon:
        return _open_cbc(data, key)
    one = data_keys[identifier]
    plain_key = _open_gcm(one.wrapped, hashlib.sha256(key.encode()).hexdigest()).decode()
    return {"aes-256-cbc": _open_cbc, "aes-256-gcm": _open_gcm}[one.algorithm](rest, plain_key)


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
