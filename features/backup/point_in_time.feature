@full @control:NIST-CP-9 @control:NIST-CP-10 @control:ISO27001-A.8.13 @control:SOC2-A1.2 @control:DORA-12
Feature: The databases are restored to a point in time
  A mistake is in every newer backup as well. The databases are restored beside the running site to just before it, from
  a base backup and the WAL after it.

  Background:
    Given the "site loss, seconds of writes" promise
    And a database under client load whose WAL is shipped
    And a base backup

  Rule: Every point after a base backup is reached, to the very write

    Scenario Outline: The databases are restored to <point>
      When clients write until <point>, and go on
      And the databases are restored to that point
      Then the restore is judged KEPT
      And what clients wrote before that point is there, and nothing that they wrote after it

      Examples: the moment before a mistake
        | point                           |
        | just before a mistaken deletion |

      @night
      Examples: a point by its name
        | point                          |
        | a time                         |
        | a position in the WAL          |
        | a restore point that was named |

    @severity:critical
    Scenario: The databases are restored from a chain of incremental backups
      Given an incremental backup of what clients wrote since
      And an incremental backup of what clients wrote since
      When the databases are restored to their newest state
      Then the restore is judged KEPT
      And the newest incremental backup was restored with all that it builds on
      And all that clients wrote is there

  Rule: What time, loss and new keys do to the archive is survived, or named

    Scenario: A hole in the WAL is named, and all that is before it is restored
      When clients write until the end of a segment of WAL, and go on
      And clients write a further segment of WAL
      And the repository suffers "a missing segment of WAL"
      And the databases are restored as far as the WAL goes
      Then the restore is judged BROKEN
      And the record names "no point in time after"
      And what clients wrote before that point is there, and nothing that they wrote after it

    Scenario: The oldest backup that retention left is restored
      Given a further base backup
      And a further base backup
      And retention kept the newest two and removed the others
      When clients write until a time, and go on
      And the databases are restored to that point from the oldest backup that is left
      Then the restore is judged KEPT
      And what clients wrote before that point is there, and nothing that they wrote after it

    Scenario: Backups from before the key of the DR site was rotated are restored with the new key
      Given the key of the DR site was rotated and the old one withdrawn
      When clients write until a time, and go on
      And the databases are restored to that point
      Then the restore is judged KEPT
      And what clients wrote before that point is there, and nothing that they wrote after it
