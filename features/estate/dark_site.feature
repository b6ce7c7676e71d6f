@full @destroys_site @severity:critical @control:NIST-CP-10 @control:ISO22301-8.5 @control:DORA-11
Feature: The estate is recovered from the bucket and the keys of the DR site alone
  Nothing of the DR site may be left but its keys: no replica, nothing prepared, and no memory of the backups it had seen.

  Scenario: A DR site of which only the keys are left recovers the estate
    Given the "site loss, seconds of writes" promise
    And a healthy dark estate under client load
    And an earlier backup
    And the DR site suffers "the loss of all that it has seen"
    When the primary site is lost
    And the estate is recovered
    Then the promise is kept
    And the databases were restored in the mode that the estate declares
