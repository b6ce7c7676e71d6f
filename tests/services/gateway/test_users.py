from __future__ import annotations

import pytest
from Crypto.Protocol.KDF import bcrypt_check

from harness.core.errors import UsageError
from harness.services.gateway.kind import htpasswd


def test_the_line_has_a_hash_of_the_key_and_not_the_key() -> None:
    user, _, hashed = htpasswd("clients", "a key").partition(":")
    assert user == "clients"
    assert hashed.startswith("$2a$05$")
    assert "a key" not in hashed
    bcrypt_check(b"a key", hashed.encode())
    with pytest.raises(ValueError, match="Incorrect"):
        bcrypt_check(b"another", hashed.encode())


def test_the_same_key_has_another_hash_each_time() -> None:
    assert htpasswd("clients", "a key") != htpasswd("clients", "a key")


@pytest.mark.parametrize(
    ("user", "key"), [("", "k"), ("a:b", "k"), ("a\nb", "k"), ("a", ""), ("a", "k" * 73), ("a", "k\0")]
)
def test_an_invalid_user_or_key_is_refused(user: str, key: str) -> None:
    with pytest.raises(UsageError):
        htpasswd(user, key)
