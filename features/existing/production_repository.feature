@full @control:NIST-CP-4 @control:NIST-CP-9
Feature: Production's backups are restore-tested without touching production
  Every night the repository of another estate is restored onto a DR site of ours. The repository is only read.

  Background:
    Given the "site loss, one machine" promise
    And a repository that another estate wrote

  Rule: The backup comes back and works, and the repository is unchanged

    @brief
    Scenario: Another estate's backup is restore-tested on a new DR site
      When its newest backup is restore-tested on a new DR site
      Then the restore test is judged KEPT
      And the repository and the other estate are as they were
      And nothing of the restore test is left on the DR site

    @brief
    Scenario: Another estate's backup is restore-tested on an existing DR site
      Given an existing DR site on the list of drill targets
      When its newest backup is restore-tested there
      Then the restore test is judged KEPT
      And the record names what was not drilled
      And the repository and the other estate are as they were
      And nothing of the restore test is left on the DR site

  Rule: A repository that cannot be restored is detected, and left unchanged

    @destroys_store
    Scenario: A repository whose only backup is damaged is BROKEN
      Given the newest backup suffers "a flipped bit"
      When its newest backup is restore-tested on a new DR site
      Then the restore test is judged BROKEN
      And the repository and the other estate are as they were

  Rule: A site that is not known to be a drill target is not touched

    Scenario Outline: A restore test is refused because of <fault>
      Given an existing DR site on the list of drill targets
      When a restore test is attempted with "<fault>"
      Then the restore test is refused, naming "<what>"
      And nothing was written to the DR site
      And the repository and the other estate are as they were

      Examples: another site
        | fault                                | what                   |
        | a database of another system         | its database system is |

      Examples: the list, the store, the use
        | fault                                | what                      |
        | a missing list of drill targets      | no list of drill targets  |
        | an unreadable list of drill targets  | unreadable list           |
        | a store without a tag                | its bucket tag is no tag  |
        | production declared and listed       | is production's           |
        | a database of clients                | the database of_clients   |
