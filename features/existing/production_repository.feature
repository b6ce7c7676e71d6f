@full @control:NIST-CP-4 @control:NIST-CP-9 @control:ISO27001-A.8.13 @control:SOC2-A1.2 @control:DORA-12
Feature: Production's backups are restore-tested without touching production
  Every night the newest backup of another estate is restored on a DR site. The repository is only read.

  Background:
    Given the "site loss, one machine" promise
    And a repository of another estate

  Rule: The backup is restored and works, and the repository is unchanged

    @brief
    Scenario: Another estate's backup is restore-tested on a new DR site
      When its newest backup is restore-tested on a new DR site
      Then the restore test is judged KEPT
      And the repository and the other estate are unchanged
      And the DR site was cleaned up

    @brief
    Scenario: Another estate's backup is restore-tested on an existing DR site
      Given an existing DR site on the allowlist of drill targets
      When its newest backup is restore-tested on that DR site
      Then the restore test is judged KEPT
      And the record names what was not drilled
      And the repository and the other estate are unchanged
      And the DR site was cleaned up

  Rule: A repository without a valid backup is detected and left unchanged

    @destroys_store
    Scenario: A repository whose only backup is damaged is BROKEN
      Given the newest backup suffers "a flipped bit"
      When its newest backup is restore-tested on a new DR site
      Then the restore test is judged BROKEN
      And the repository and the other estate are unchanged

  Rule: A site that is not a drill target is not changed

    Scenario Outline: A restore test is refused because of <fault>
      Given an existing DR site on the allowlist of drill targets
      When a restore test is attempted with "<fault>"
      Then the restore test is refused, naming "<what>"
      And nothing was written to the DR site
      And the repository and the other estate are unchanged

      Examples: another site
        | fault                        | what                   |
        | a database of another system | its database system is |

      Examples: no list
        | fault                                | what                          |
        | a missing allowlist of drill targets | no allowlist of drill targets |

      @night
      Examples: the list, the store, the use
        | fault                                                              | what                            |
        | an unreadable allowlist of drill targets                           | unreadable allowlist            |
        | an unsigned allowlist of drill targets                             | unsigned allowlist              |
        | an allowlist of drill targets that was changed after it was signed | was changed after it was signed |
        | an allowlist of drill targets signed by another key                | which is not trusted here       |
        | an expired entry of the allowlist of drill targets                 | its entry has expired           |
        | a missing key of the allowlist of drill targets                    | key of the allowlist            |
        | a store without a tag                                              | its bucket tag is no tag        |
        | production declared as the DR site                                 | is production's                 |
        | a client database                                                  | the database orders             |
