@full @control:NIST-CP-9
Feature: The daily backup is taken, or the operations team is alerted
  A backup that failed unnoticed is discovered on the day of the disaster. Every run is logged; a failure raises an alert.

  Background:
    Given an estate with data to protect

  Rule: A backup that succeeded is listed, and says what is in it

    @brief
    Scenario: The schedule fires and a backup is taken
      When the schedule fires
      Then the backup is confirmed with its path, time, size and digest
      And it holds every database of the live primary
      And the success is logged

    Scenario: Runs of the schedule do not overlap
      Given the database suffers "a table that is locked for three seconds"
      When the schedule fires again during the backup
      Then only one backup was taken at a time

    @control:NIST-SC-28
    Scenario: A backup can be opened without this project
      When a backup is taken
      Then independent tools open it with the key of the DR site

  Rule: A failed backup is not listed, and the operations team is alerted

    @destroys_store
    Scenario Outline: A backup with <fault> fails with an alert
      Given an earlier backup
      When a backup is attempted with "<fault>"
      Then the failure is logged with its error
      And the operations team is alerted
      And only the earlier backup is listed

      @brief
      Examples: lost during the backup, or full
        | fault                               |
        | the database gone during the dump   |
        | the offsite store dying midway      |
        | the offsite store full              |

      Examples: the source
        | fault                               |
        | the database gone before the dump   |
        | a missing attachment                |

      Examples: the offsite store
        | fault                               |
        | the offsite store refusing          |

      Examples: the keys
        | fault                               |
        | a missing recipient key             |
        | a malformed recipient key           |
