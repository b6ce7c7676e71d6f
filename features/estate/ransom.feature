@full @destroys_store @destroys_site @severity:critical @control:NIST-CP-9 @control:ISO27001-A.8.13 @control:SOC2-A1.2
@control:DORA-12
Feature: The last clean backup is restored when newer ones were encrypted for ransom
  An attacker who may write to the bucket, and has no key, overwrites what was stored lately. Older backups are restored
  instead, and the record names what was passed over.

  Scenario: All that is newer than the first backup was encrypted
    Given the "site loss, one machine" promise
    And a healthy archived estate under client load
    And an earlier backup
    And a newer backup
    And the repository suffers "ransom: all that is newer is encrypted"
    When the primary site is lost
    And the estate is recovered
    Then the drill is judged BROKEN
    And the record says why the newer backup was passed over
    And the files are from the earlier backup
    And the databases were restored in the mode that the estate declares
