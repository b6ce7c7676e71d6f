@full @control:NIST-CP-9
Feature: The daily backup is taken, or somebody hears of it
  A backup that failed in silence is found on the worst day. Every run is logged; a failed one rings.

  Background:
    Given an estate with data to protect

  Rule: A backup that succeeded is listed, and says what is in it

    @brief
    Scenario: The schedule fires and a backup is taken
      When the schedule comes due
      Then the backup is confirmed with its path, time, size and digest
      And it holds every database of the live primary
      And the success is logged

    Scenario: Runs of the schedule do not overlap
      Given a backup that is held up
      When the schedule comes due again meanwhile
      Then only one backup was taken at a time

    @control:NIST-SC-28
    Scenario: A backup can be opened without this project
      When a backup is taken
      Then independent tools open it with the key of the DR site

  Rule: A backup that failed is not listed, and the operations team hears of it

    @destroys_store
    Scenario Outline: A backup with <trouble> fails loudly
      Given an earlier backup
      When a backup is attempted with <trouble>
      Then the failure is logged with its error
      And the operations team is alerted
      And only the earlier backup is listed

      @brief
      Examples: what is lost midway, and what is full
        | trouble                             |
        | the database gone during the dump   |
        | the offsite store dying midway      |
        | the offsite store full              |

      Examples: the source
        | trouble                             |
        | the database gone before the dump   |
        | a missing attachment                |

      Examples: the offsite store
        | trouble                             |
        | the offsite store refusing          |

      Examples: the keys
        | trouble                             |
        | a missing recipient key             |
        | a malformed recipient key           |
