"""An offsite bucket with object lock, and the try of its administrator to delete a backup."""

from minio.error import S3Error

from harness.drill.drill import Drill
from harness.estate.connections import BUCKET
from harness.repository.catalogue import Receipt
from harness.s3.client import asked, client
from harness.scenario.checks.verdict import require


def lock_backups(drill: Drill, days: int) -> None:
    """Make the empty offsite bucket anew with object lock, and have backups locked. Raises HarnessError."""
    environment = drill.environment
    with asked(environment.offsite_s3, BUCKET, "cannot be made with object lock"):
        store = client(environment.offsite_s3)
        store.remove_bucket(BUCKET)
        store.make_bucket(BUCKET, object_lock=True)
    backup = environment.config.backup.model_copy(update={"lock_days": days})
    environment.config = environment.config.model_copy(update={"backup": backup})


def require_undeletable(drill: Drill, receipt: Receipt) -> None:
    """Try to delete every object of a backup for good, with the store's own keys; raise Finding where it succeeds."""
    environment = drill.environment
    require(receipt.locked_until, f"backup {receipt.backup_id} was not locked")
    store = client(environment.offsite_s3)
    with asked(environment.offsite_s3, BUCKET, "cannot be listed"):
        entries = [
            (str(entry.object_name), entry.version_id)
            for entry in store.list_objects(BUCKET, recursive=True, include_version=True)
            if receipt.backup_id in str(entry.object_name) and "/intent/" not in str(entry.object_name)
        ]
    kinds = {key.split("/")[1] for key, _ in entries}
    require(kinds == {"commit", "data", "keys", "manifest"}, f"the backup has {', '.join(sorted(kinds))} alone")
    deleted = []
    for key, version in entries:
        try:
            store.remove_object(BUCKET, key, version)
        except S3Error:
            continue
        deleted.append(key)
    require(not deleted, f"an administrator deleted {', '.join(deleted)}")
    drill.journal.mark("refused", "deletion of a locked backup", objects=len(entries))
