@full @destroys_store @destroys_site @control:NIST-CP-9
Feature: Only a backup that opens to its last segment is restored
  The newest backup is not the best one when a bit of it has turned.

  Background:
    Given the "site loss, rehearsed" promise
    And a healthy notification estate with clients at work

  Rule: A damaged backup is passed over, with its reason on record

    Scenario Outline: A newer backup with <damage> is passed over
      Given an earlier backup
      And a newer backup with <damage>
      When the primary site is lost
      And the estate is recovered
      Then the earlier backup was used
      And the record says why the newer one was not

      Examples: what is there is another
        | damage              |
        | a flipped bit       |

      Examples: what is there is not what was written
        | damage              |
        | a missing object    |
        | a cut-off object    |
        | an edited manifest  |
        | two objects swapped |

  Rule: Without a valid backup nothing is started

    Scenario Outline: Recovery stops when there is <nothing usable>
      Given backups of which there is <nothing usable>
      When the primary site is lost
      And recovery is attempted
      Then the recovery stopped for want of a valid backup
      And no service was started and no traffic switched
      And the drill is judged BROKEN

      Examples: an empty repository
        | nothing usable         |
        | none at all            |

      Examples: one of no use
        | nothing usable         |
        | only a damaged one     |
        | none for the DR key    |

  Rule: A restore that fails after selection stops the drill

    Scenario Outline: Recovery stops when <misfortune>
      Given an earlier backup
      When the primary site is lost
      And recovery is attempted while <misfortune>
      Then the recovery stopped at the restore
      And no service was started and no traffic switched
      And the drill is judged BROKEN

      @brief
      Examples: something is lost meanwhile
        | misfortune                              |
        | the DR database server dies             |

      Examples: something is not as it was
        | misfortune                              |
        | the selected backup vanishes            |
        | the DR database server is not empty     |
