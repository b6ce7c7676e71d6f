"""Gallery: a small Django program with rows in PostgreSQL, photos on its disk and scans in a bucket."""

from __future__ import annotations

import json
import os
from io import BytesIO
from urllib.parse import urlsplit

import django
from django.conf import settings
from django.core.files.base import ContentFile, File
from django.core.files.storage import Storage
from django.core.servers.basehttp import run
from django.core.wsgi import get_wsgi_application
from django.db import connection, models
from django.http import FileResponse, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404
from django.urls import path
from minio import Minio
from minio.error import S3Error

settings.configure(
    SECRET_KEY="not used: there are no sessions and no signatures",  # noqa: S106
    ALLOWED_HOSTS=["*"],
    ROOT_URLCONF=__name__,
    MEDIA_ROOT=os.environ["MEDIA_ROOT"],
    DATABASES={
        "default": {
            "ENGINE": "django.db.backends.postgresql",
            **{name: os.environ[f"DB_{name}"] for name in ("HOST", "PORT", "NAME", "USER", "PASSWORD")},
        }
    },
)
django.setup()


class Bucket(Storage):
    """Keeps files in the bucket that the environment names."""

    def __init__(self) -> None:
        """Connect when it is first used."""
        self.bucket = os.environ["S3_BUCKET"]
        keys = {"access_key": os.environ["S3_ACCESS_KEY"], "secret_key": os.environ["S3_SECRET_KEY"]}
        where = urlsplit(os.environ["S3_ENDPOINT"]).netloc
        self.client = Minio(where, **keys, region=os.environ["S3_REGION"], secure=False)

    def _open(self, name: str, _mode: str = "rb") -> File:
        try:
            with self.client.get_object(self.bucket, name) as answer:
                return ContentFile(answer.read(), name)
        except S3Error as error:
            raise FileNotFoundError(name) from error

    def _save(self, name: str, content: File) -> str:
        data = content.read()
        self.client.put_object(self.bucket, name, BytesIO(data), len(data))
        return name

    def exists(self, _name: str) -> bool:
        """Return False: the names of scans are those of their rows."""
        return False


class Picture(models.Model):
    """A line of text, with a photo on the disk or a scan in the bucket."""

    said = models.TextField()
    photo = models.FileField(upload_to="photos")
    scan = models.FileField(upload_to="scans", storage=Bucket())

    class Meta:
        """Where it is kept."""

        app_label = "gallery"
        db_table = "picture"


def pictures(request: HttpRequest) -> HttpResponse:
    """List all pictures, or add one: JSON with its text, or a form with its text and a file `photo` or `scan`."""
    if request.method == "GET":
        return JsonResponse({"pictures": [_shown(picture) for picture in Picture.objects.order_by("id")]})
    given = json.loads(request.body) if request.content_type == "application/json" else request.POST
    files = {name: request.FILES[name] for name in ("photo", "scan") if name in request.FILES}
    return JsonResponse(_shown(Picture.objects.create(said=given["said"], **files)), status=201)


def picture(_request: HttpRequest, number: int) -> HttpResponse:
    """Show the text of one picture."""
    return JsonResponse(_shown(get_object_or_404(Picture, id=number)))


def content(_request: HttpRequest, number: int, kind: str) -> HttpResponse:
    """Download the photo or the scan of one picture."""
    file = getattr(get_object_or_404(Picture, id=number), kind)
    try:
        return FileResponse(file.open())
    except (FileNotFoundError, ValueError):
        return HttpResponse("no such file", status=404)


def ready(_request: HttpRequest) -> HttpResponse:
    """Say that requests are answered; the database is first asked by a request that needs it."""
    return HttpResponse("ready")


def _shown(picture: Picture) -> dict[str, object]:
    return {"id": picture.id, "said": picture.said, "photo": picture.photo.name, "scan": picture.scan.name}


urlpatterns = [
    path("ready", ready),
    path("pictures", pictures),
    path("pictures/<int:number>", picture),
    path("pictures/<int:number>/<str:kind>", content),
]


def fill() -> None:
    """Create the table and the first picture in an empty database."""
    if Picture._meta.db_table in connection.introspection.table_names():  # noqa: SLF001 - the documented API of models
        return
    with connection.schema_editor() as editor:
        editor.create_model(Picture)
    photo = ContentFile(b"a photo of the harbour\n", "harbour.txt")
    scan = ContentFile(b"a scan of the deed\n", "deed.txt")
    Picture.objects.create(said="the harbour", photo=photo, scan=scan)


fill()
connection.close()
run(os.environ["HOST"], int(os.environ["PORT"]), get_wsgi_application(), threading=True)
