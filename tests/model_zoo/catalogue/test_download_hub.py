"""Downloads from Hugging Face's hub, played by a server on this machine, and over TLS.

Reference: the headers of the hub that huggingface_hub reads, and its documented variables.
"""

from __future__ import annotations

import datetime
import ipaddress
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from model_zoo.catalogue import transport
from model_zoo.catalogue.download import cached_path, download
from model_zoo.catalogue.remote_file import RemoteFile
from model_zoo.errors import StorageError
from tests.model_zoo.catalogue import hub as server
from tests.model_zoo.catalogue.hub import CONTENT, REVISION, SHA256, Hub, play_hub, status, whole

PATH = f"/someone/nets/resolve/{REVISION}/deep/net.bin"
TOKEN = "hf_token_of_a_test"


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A server that is the hub, with an empty cache and a token of the user."""
    monkeypatch.setenv("STEM_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    monkeypatch.setattr(transport, "TIMEOUT", 5.0)
    with server.serve() as running:
        monkeypatch.setenv("HF_ENDPOINT", f"{running.url}/")
        yield running


def refused(file: RemoteFile) -> str:
    with pytest.raises(StorageError) as caught:
        download(file)
    assert not cached_path(file).exists()
    return str(caught.value)


def test_the_hub_names_the_place_and_its_token_stays_there(hub: Hub) -> None:
    tokens = {}

    def storage(request: server.Handler) -> None:
        tokens["storage"] = request.headers.get("Authorization")
        server.cut(200_000)(request)

    file = play_hub(hub, storage)
    about = hub.behaviours[PATH]

    def resolve(request: server.Handler) -> None:
        tokens["hub"] = request.headers.get("Authorization")
        about(request)

    hub.behaviours[PATH] = resolve
    assert download(file).read_bytes() == CONTENT
    assert tokens == {"hub": f"Bearer {TOKEN}", "storage": None}
    assert [path for method, path, _ in hub.requests if method == "HEAD"] == [PATH, PATH]


def test_a_small_file_comes_from_the_hub_itself(hub: Hub) -> None:
    """Files in git are not redirected, have an SHA-1 as ETag, and need the token."""
    tokens = []

    def in_git(request: server.Handler) -> None:
        tokens.append(request.headers.get("Authorization"))
        request.begin(200, Content_Length=len(CONTENT), ETag=f'"{"a" * 40}"')
        request.send(CONTENT)

    hub.add(PATH, in_git)
    file = RemoteFile(f"https://huggingface.co{PATH}", SHA256)
    assert download(file).read_bytes() == CONTENT
    assert tokens == [f"Bearer {TOKEN}"] * 2


def test_another_file_is_refused_before_it_is_sent(hub: Hub) -> None:
    text = refused(play_hub(hub, whole, sha256="0" * 64))
    wanted = f"huggingface.co has another file (SHA-256 {'0' * 12}... instead of {SHA256[:12]}...)"
    assert wanted in text
    assert hub.sent == 0


def test_another_size_is_refused_before_it_is_sent(hub: Hub) -> None:
    file = play_hub(hub, whole)
    larger = RemoteFile(file.url, file.sha256, file.size + 1)
    assert "has a file of 300,000 bytes instead of 300,001" in refused(larger)
    assert hub.sent == 0


@pytest.mark.parametrize(
    ("code", "kind", "sentence"),
    [
        (404, "EntryNotFound", "huggingface.co has no such file (404 Not Found). Set STEM_MIRROR"),
        (404, "RevisionNotFound", "huggingface.co has no such file (404 Not Found)"),
        (401, "RepoNotFound", "denies access (401 Unauthorized). Accept the terms"),
        (403, "GatedRepo", "denies access (403 Forbidden). Accept the terms on"),
        (500, "", "is temporarily unavailable (500 Internal Server Error). Run it again later"),
        (429, "", "is temporarily unavailable (429 Too Many Requests). Run it again later"),
    ],
)
def test_refusals_of_the_hub(code: int, kind: str, sentence: str, hub: Hub) -> None:
    hub.add(PATH, status(code, X_Error_Code=kind))
    text = refused(RemoteFile(f"https://huggingface.co{PATH}", SHA256, len(CONTENT)))
    assert sentence in text
    assert "\n" not in text


def test_no_hub_then_a_mirror(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:1")
    url = f"https://huggingface.co{PATH}"
    text = refused(RemoteFile(url, SHA256, len(CONTENT)))
    assert text.endswith("huggingface.co refuses the connection. " + transport.NETWORK)
    mirror = hub.add("/mirror", whole)
    assert download(RemoteFile(url, SHA256, len(CONTENT), (mirror,))).read_bytes() == CONTENT


def test_a_silent_hub(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "TIMEOUT", 0.4)
    hub.add(PATH, server.silent)
    text = refused(RemoteFile(f"https://huggingface.co{PATH}", SHA256, len(CONTENT)))
    assert "huggingface.co sends less than 16,384 bytes in 0.4 seconds" in text


def certificate(folder: Path) -> Path:
    """Write a new key and a certificate for 127.0.0.1 that is signed with it."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test")])
    now = datetime.datetime.now(datetime.UTC)
    host = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    signed = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(host, critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    path = folder / "server.pem"
    path.write_bytes(private + signed.public_bytes(serialization.Encoding.PEM))
    return path


@pytest.fixture
def secure(tmp_path: Path) -> Iterator[tuple[Hub, Path]]:
    """A server with TLS, and its certificate."""
    pem = certificate(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    with Hub() as running:
        running.socket = context.wrap_socket(running.socket, server_side=True)
        thread = threading.Thread(target=running.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        yield running, pem
        running.shutdown()
        thread.join()


def test_tls_is_not_left_by_a_redirect(
    secure: tuple[Hub, Path], hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The certificate is trusted by the variable of requests; without it there is no connection."""
    tls, pem = secure
    url = f"https://127.0.0.1:{tls.server_address[1]}"
    tls.add("/net.bin", server.to(hub.add("/open", whole)))
    tls.add("/good.bin", server.to("/net2.bin"))
    tls.add("/net2.bin", whole)
    assert "has no secure connection. Check the clock" in refused(
        RemoteFile(f"{url}/good.bin", SHA256, len(CONTENT))
    )
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(pem))
    text = refused(RemoteFile(f"{url}/net.bin", SHA256, len(CONTENT)))
    assert "redirects to a connection without encryption. Set STEM_MIRROR" in text
    assert hub.requests == []
    file = RemoteFile(f"{url}/good.bin", SHA256, len(CONTENT))
    assert download(file).read_bytes() == CONTENT
