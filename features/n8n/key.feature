@full @apps @destroys_site
Feature: Workflows are recovered with the key of their credentials
  The database contains credentials that only this key can decrypt, and the key is not in the backup.

  Scenario: n8n with the wrong key is detected
    Given the "site loss, one machine" promise
    And a healthy automation estate under client load
    And an earlier backup
    When the primary site is lost
    And recovery is attempted with "the DR site has another automation key"
    Then it failed, naming "n8n-key on the DR site has fingerprint"
    And the drill is judged BROKEN
