@full @brief @needs_kubernetes @control:NIST-CP-9 @control:NIST-CP-4
Feature: The clusters back up and rehearse by themselves
  Nobody has to remember either. The clusters' own clocks start them, with no more rights than they need.

  Background:
    Given the "site loss, rehearsed" promise
    And a primary cluster with data to protect

  @smoke
  Scenario: The daily backup and the nightly restore drill are started by the clusters' own clocks
    Given the primary cluster backs itself up
    And a DR cluster at rest that is listed as a drill target
    When the daily backup comes due
    Then it succeeded and its backup is in the offsite repository
    When the restore drill comes due
    Then its verdict is KEPT
    And the DR cluster is at rest again

  Scenario: A DR cluster that is not listed as a drill target is refused
    Given a DR cluster at rest that is not listed as a drill target
    When the restore drill comes due
    Then the restore drill is refused, naming its cluster
    And nothing was scaled up
