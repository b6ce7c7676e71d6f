@full @destroys_store @destroys_site @control:NIST-CP-9
Feature: Only a backup that opens to its last segment is restored
  The newest backup is of no use when a bit of it has flipped.

  Background:
    Given the "site loss, one machine" promise
    And a healthy notification estate under client load

  Rule: A damaged backup is passed over, with its reason on record

    Scenario Outline: A newer backup with <damage> is passed over
      Given an earlier backup
      And a newer backup
      And the newest backup suffers "<damage>"
      When the primary site is lost
      And the estate is recovered
      Then the earlier backup was used
      And the record says why the newer one was not

      Examples: altered
        | damage              |
        | a flipped bit       |

      Examples: lost, cut off, edited or swapped
        | damage              |
        | a missing object    |
        | a cut-off object    |
        | an edited manifest  |
        | two swapped objects |

  Rule: Without a valid backup nothing is started

    Scenario: Recovery stops when no backup was ever taken
      When the primary site is lost
      And recovery is attempted
      Then the recovery stopped because there is no valid backup
      And no service was started and no traffic switched
      And the drill is judged BROKEN

    Scenario Outline: Recovery stops when there is <fault>
      Given the repository suffers "<fault>"
      When the primary site is lost
      And recovery is attempted
      Then the recovery stopped because there is no valid backup
      And no service was started and no traffic switched
      And the drill is judged BROKEN

      Examples:
        | fault                               |
        | a single backup, which is damaged   |
        | a single backup, sealed to other keys |

  Rule: A restore that fails after selection stops the drill

    Scenario Outline: Recovery stops when <fault>
      Given an earlier backup
      When the primary site is lost
      And recovery is attempted with "<fault>"
      Then the recovery stopped at the restore
      And no service was started and no traffic switched
      And the drill is judged BROKEN

      @brief
      Examples: lost during the recovery
        | fault                                   |
        | the DR database server dies             |

      Examples: changed during the recovery
        | fault                                   |
        | the selected backup vanishes            |
        | the DR database server is not empty     |
