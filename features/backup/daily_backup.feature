@full @control:NIST-CP-9 @control:ISO27001-A.8.13 @control:SOC2-A1.2
Feature: The daily backup is taken, or the operations team is alerted
  An unnoticed failure would be discovered only in a disaster. Every run is logged; a failure raises an alert.

  Background:
    Given an estate with data to protect

  Rule: A successful backup is listed with its contents

    @brief
    Scenario: The schedule fires and a backup is taken
      When the schedule fires
      Then the backup is confirmed with its path, time, size and digest
      And it contains every database of the primary
      And the success is logged

    Scenario: Scheduled backups do not overlap
      Given the database suffers "a table that is locked for three seconds"
      When the schedule fires again during the backup
      Then the backups did not overlap

    Scenario: A missing attachment is named, and everything else is backed up
      Given the primary suffers "a missing attachment"
      When a backup is taken
      Then the backup names the missing attachment
      And the operations team is alerted to it

    @control:NIST-SC-28
    Scenario: A backup can be opened without blackstart
      When a backup is taken
      Then independent tools open it with the key of the DR site

  Rule: A locked backup cannot be deleted before its time

    @control:NIST-CP-9
    Scenario: An administrator's deletion is refused by the store
      Given an offsite store that locks each backup for a day
      When a backup is taken
      Then an administrator of the store cannot delete it

  Rule: A failed backup is not listed, and the operations team is alerted

    @destroys_store
    Scenario Outline: A backup with <fault> fails with an alert
      Given an earlier backup
      When a backup is attempted with "<fault>"
      Then the failure is logged with its error
      And the operations team is alerted
      And only the earlier backup is listed

      @brief
      Examples: a full store
        | fault                |
        | a full offsite store |

      @brief @night
      Examples: failures during the backup
        | fault                                   |
        | a database killed during the dump       |
        | an offsite store killed during the dump |

      @night
      Examples: the source
        | fault                             |
        | a database killed before the dump |

      Examples: the offsite store
        | fault                        |
        | an unreachable offsite store |

      @night
      Examples: the keys
        | fault                     |
        | a missing recipient key   |
        | a malformed recipient key |
