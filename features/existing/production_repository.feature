@full @control:NIST-CP-4 @control:NIST-CP-9
Feature: Production's backups are rehearsed without touching production
  Every night somebody else's repository is restored into a DR site of ours. It is read, and nothing else is done to it.

  Background:
    Given the "site loss, rehearsed" promise
    And a repository that another estate wrote

  Rule: What comes back works, and where it came from all is as it was

    @brief
    Scenario: Another estate's backup is rehearsed on a DR site made for it
      When its newest backup is rehearsed on a DR site of ours
      Then the rehearsal is judged KEPT
      And the repository and the other estate are as they were
      And nothing of the rehearsal is left on the DR site

    @brief
    Scenario: Another estate's backup is rehearsed on a DR site that stands already
      Given a DR site that stands already and is listed as a drill target
      When its newest backup is rehearsed there
      Then the rehearsal is judged KEPT
      And the record names what was not drilled
      And the repository and the other estate are as they were
      And nothing of the rehearsal is left on the DR site

  Rule: A repository that cannot be restored is found out, and left as it is

    @destroys_store
    Scenario: A repository whose only backup is damaged is BROKEN
      Given its only backup has a flipped bit
      When its newest backup is rehearsed on a DR site of ours
      Then the rehearsal is judged BROKEN
      And the repository and the other estate are as they were

  Rule: A site that is not known to be a drill target is not touched

    Scenario Outline: A rehearsal is refused when <doubt>
      Given a DR site that stands already and is listed as a drill target
      When a rehearsal is attempted although <doubt>
      Then the rehearsal is refused, naming <what>
      And nothing was written to the DR site
      And the repository and the other estate are as they were

      Examples: the site is another
        | doubt                                    | what                |
        | its database is of another system        | the database system |

      Examples: the list, the store, the use
        | doubt                                    | what                |
        | the list of drill targets is missing     | the list            |
        | the list of drill targets is unreadable  | the list            |
        | its store carries no tag                 | the bucket tag      |
        | production itself is declared and listed | production          |
        | it holds a database, as one in use does  | the use             |
