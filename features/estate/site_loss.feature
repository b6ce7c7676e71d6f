@full @brief @destroys_site @apps @severity:critical @control:NIST-CP-4 @control:NIST-CP-10 @control:ISO22301-8.5
@control:ISO27001-A.5.30 @control:SOC2-A1.3 @control:DORA-11 @control:DORA-24
Feature: The company survives the loss of its primary site
  Orders, workflows and notifications are restored on the DR site from encrypted offsite backups within the promise: with
  `mode = "physical"` the database server from a base backup and the WAL that was shipped until the loss.

  @smoke
  Scenario: A lost primary site is recovered within its promise
    Given the "site loss, seconds of writes" promise
    And a healthy estate under client load
    And the daily backup has run on schedule
    When the primary site is lost
    And the DR infrastructure is activated
    And the latest valid backup is selected
    And the databases are restored on the DR site
    And the critical services are started on the DR site
    And traffic is switched to the DR site
    And every key function is tested through the front door
    Then the promise is kept
    And the databases were restored in the mode that the estate declares
    And every message of the mission was seen
    And outbound actions were contained
    And the record is complete
