@full @brief @needs_kubernetes @control:NIST-CP-9 @control:NIST-CP-4 @control:ISO27001-A.8.13 @control:DORA-12
Feature: Clusters run backup and restore test as CronJobs
  CronJobs start them automatically, with no more permissions than they need.

  Background:
    Given the "site loss, one machine" promise
    And a primary cluster with data to protect

  @smoke
  Scenario: CronJobs take the daily backup and run the nightly restore test
    Given a CronJob of the primary cluster takes its backup
    And a DR cluster that is scaled to zero and listed as a drill target
    When the CronJob of the backup fires
    Then the Job succeeded and its backup is in the offsite repository
    When the CronJob of the restore test fires
    Then its verdict is KEPT
    And the DR cluster is scaled to zero again

  Scenario: A DR cluster that is not listed as a drill target is refused
    Given a DR cluster that is scaled to zero and not listed as a drill target
    When the CronJob of the restore test fires
    Then the restore test is refused, naming its cluster
    And nothing was scaled up
