"""What came of a recovery, for the record of a drill or a restore test."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from harness.core.egress import Egress
from harness.core.judge import Evidence
from harness.evidence.record import Outcome
from harness.recovery.recovery import Selected, Tested
from harness.recovery.restore import Restored
from harness.recovery.sign_off import SignOff


@dataclass(frozen=True, slots=True)
class Results:
    """Results of the phases of a recovery, None for one that was not reached."""

    selected: Selected | None = None
    restored: Restored | None = None
    tested: Tested | None = None
    signed_off: SignOff | None = None

    def observed(self, evidence: Evidence, uncovered: Sequence[str]) -> Evidence:
        """Return `evidence` with what the phases showed. `uncovered`: of the site, beside what the backup lacks."""
        selected, restored, tested = self.selected, self.restored, self.tested
        return replace(
            evidence,
            key=tested.passed_at if tested else None,
            missing_files=len(restored.lost_objects) if restored else 0,
            uncovered=(*(selected.uncovered if selected else ()), *uncovered),
            findings=tuple(
                dict.fromkeys(
                    (  # resumed work may have noted the same before
                        *evidence.findings,
                        *(selected.findings if selected else ()),
                        *(restored.findings if restored else ()),
                    )
                )
            ),
            doubts=tuple(dict.fromkeys((*evidence.doubts, *(restored.doubts if restored else ())))),
        )

    def outcome(
        self, evidence: Evidence, not_drilled: tuple[str, ...], notes: Mapping[str, str], egress: Egress | None
    ) -> Outcome:
        """Return the outcome for the record. `egress`: of the recovered site, asked while it was there."""
        selected, restored, tested = self.selected, self.restored, self.tested
        return Outcome(
            evidence,
            backup={**(selected.facts if selected else {}), **(restored.source if restored else {})},
            contents=selected.contents if selected else None,
            passed_over=selected.passed_over if selected else (),
            size=restored.size if restored else None,
            rows=restored.rows if restored else None,
            lost_objects=restored.lost_objects if restored else None,
            results=tested.results if tested else (),
            not_drilled=not_drilled,
            assertions=restored.assertions if restored else (),
            notes={**notes, **self._notes()},
            egress=egress,
        )

    def _notes(self) -> Mapping[str, str]:
        notes = {}
        if self.restored is not None and self.restored.corrected:
            notes["replicas put right from the backup"] = "; ".join(self.restored.corrected)
        if self.restored is not None and self.restored.notes:
            notes["restore"] = "; ".join(self.restored.notes)
        if self.restored is not None and self.restored.consistency:
            notes["consistency between stores"] = "; ".join(self.restored.consistency)
        if self.signed_off is not None:
            changed = f"; changed by programs: {'; '.join(self.signed_off.changed)}" if self.signed_off.changed else ""
            notes["compared again before sign-off"] = f"{self.signed_off.databases} databases{changed}"
        return notes
