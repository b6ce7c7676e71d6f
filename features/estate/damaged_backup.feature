@full @destroys_store @destroys_site @control:NIST-CP-9 @control:ISO27001-A.8.13 @control:SOC2-A1.2 @control:DORA-12
Feature: Only a backup that decrypts to its last segment is restored
  A backup with one flipped bit must not be restored.

  Background:
    Given the "site loss, one machine" promise
    And a healthy notification estate under client load

  Rule: A damaged backup is passed over, with the reason in the record

    Scenario Outline: A newer backup with <damage> is passed over
      Given an earlier backup
      And a newer backup
      And the newest backup suffers "<damage>"
      When the primary site is lost
      And the estate is recovered
      Then the earlier backup was restored
      And the record says why the newer backup was passed over

      Examples: altered
        | damage        |
        | a flipped bit |

      @night
      Examples: missing, truncated, edited or swapped
        | damage              |
        | a missing object    |
        | a truncated object  |
        | an edited manifest  |
        | an edited COMMIT    |
        | two swapped objects |

  Rule: Only what a trusted writer signed is restored

    Scenario Outline: <what> in the repository is passed over
      Given an earlier backup
      And the repository suffers "<what>"
      When the primary site is lost
      And the estate is recovered
      Then the earlier backup was restored
      And the record names what was passed over

      Examples: a backup
        | what                             |
        | a forged backup of the year 2099 |

      @night
      Examples: other objects
        | what                        |
        | objects that are no backups |

  Rule: A deletion from the repository is noticed

    Scenario: The newest backup was deleted, and an older one is restored
      Given an earlier backup
      And a newer backup
      And the repository suffers "a deleted newest backup"
      When the primary site is lost
      And the estate is recovered
      Then the drill is judged BROKEN
      And the record names the newer backup as deleted

  Rule: Without a valid backup nothing is started

    Scenario: Recovery stops when the repository is empty
      When the primary site is lost
      And recovery is attempted
      Then the recovery stopped because no backup is valid
      And no service was started and no traffic switched
      And the drill is judged BROKEN

    Scenario Outline: Recovery stops when there is <fault>
      Given the repository suffers "<fault>"
      When the primary site is lost
      And recovery is attempted
      Then the recovery stopped because no backup is valid
      And no service was started and no traffic switched
      And the drill is judged BROKEN

      Examples: damaged
        | fault                           |
        | a single backup that is damaged |

      @night
      Examples: sealed to others
        | fault                                        |
        | a single backup that is sealed to other keys |

  Rule: A restore that fails after selection stops the drill

    Scenario Outline: Recovery stops when <fault>
      Given an earlier backup
      When the primary site is lost
      And recovery is attempted with "<fault>"
      Then the recovery stopped at the restore
      And no service was started and no traffic switched
      And the drill is judged BROKEN

      @brief
      Examples: failed during the recovery
        | fault                            |
        | the DR database server is killed |

      @night
      Examples: changed during the recovery
        | fault                               |
        | the selected backup is deleted      |
        | the DR database server is not empty |
