"""A certificate authority for tests of TLS."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from ipaddress import IPv4Address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from harness.core.clock import SYSTEM

LOOPBACK = IPv4Address("127.0.0.1")


@dataclass(frozen=True)
class Certificate:
    """A certificate and its key, as PEM."""

    pem: str
    key: str

    def write(self, folder: Path, name: str) -> None:
        """Write NAME.pem and NAME.key."""
        (folder / f"{name}.pem").write_text(self.pem)
        (folder / f"{name}.key").write_text(self.key)
        (folder / f"{name}.key").chmod(0o600)


def _named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


class Authority:
    """An authority: `pem` is its own certificate."""

    def __init__(self, name: str = "blackstart tests") -> None:
        self._key, self._name = ec.generate_private_key(ec.SECP256R1()), _named(name)
        self.pem = self._signed(self._name, self._key, x509.BasicConstraints(ca=True, path_length=None))

    def issue(self, name: str, *hosts: str, loopback: bool = False) -> Certificate:
        """Return a certificate of `name` for the given hosts, and for 127.0.0.1 if `loopback`."""
        key = ec.generate_private_key(ec.SECP256R1())
        names: list[x509.GeneralName] = [x509.DNSName(host) for host in hosts]
        names += [x509.IPAddress(LOOPBACK)] if loopback else []
        extension = x509.SubjectAlternativeName(names or [x509.DNSName(name)])
        encoding, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
        private = key.private_bytes(encoding, form, serialization.NoEncryption())
        return Certificate(self._signed(_named(name), key, extension), private.decode())

    def _signed(self, subject: x509.Name, key: ec.EllipticCurvePrivateKey, extension: x509.ExtensionType) -> str:
        now = SYSTEM.wall()
        builder = x509.CertificateBuilder(self._name, subject, key.public_key(), x509.random_serial_number())
        builder = builder.not_valid_before(now - timedelta(hours=1)).not_valid_after(now + timedelta(days=1))
        made = builder.add_extension(extension, critical=False).sign(self._key, hashes.SHA256())
        return made.public_bytes(serialization.Encoding.PEM).decode()
