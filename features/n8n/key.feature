@full @apps @destroys_site
Feature: Workflows come back with the key that opens their credentials
  The database holds what only the key can read, and the key is not in the backup.

  Scenario: n8n with the wrong key is found out
    Given the "site loss, rehearsed" promise
    And a healthy automation estate with clients at work
    And an earlier backup
    When the primary site is lost
    And recovery is attempted while the DR site holds another automation key
    Then the recovery stopped because of the automation key
    And the drill is judged BROKEN
