@full @brief @destroys_site @severity:critical @control:NIST-CP-10 @control:ISO27001-A.8.14 @control:DORA-11
Feature: A primary that is not dead does no harm after a recovery
  A primary may hang, or be cut off from its clients and run on. It is given up like a dead one. What it does later must
  not reach clients, and what it took alone is named.

  Background:
    Given the "site loss, one machine" promise
    And a healthy notification estate under client load
    And an earlier backup

  Scenario: A frozen primary is recovered from, and clients believe nothing that it does when it is thawed
    When the primary suffers "a freeze of all its processes"
    And the estate is recovered
    And the fault is undone
    Then clients were acknowledged no write by the old primary
    And the promise is kept

  @isolates
  Scenario: A primary that is cut off and lives on is fenced, and the writes that it took alone are named
    When the primary suffers "a partition from everything outside it"
    And clients inside the primary write on
    And the estate is recovered
    Then the old primary was fenced before traffic was switched
    When the fault is undone
    And the writes of the old primary are read
    Then the promise is kept
    And the writes that only the old primary took are named by number
