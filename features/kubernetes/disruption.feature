@full @brief @needs_kubernetes @control:NIST-CP-10
Feature: What befalls a cluster is survived, or named
  Clusters heal themselves of much. What they cannot heal must be said in words, not by a recovery that never ends.

  Background:
    Given the "site loss, rehearsed" promise
    And a healthy notification estate with clients at work

  Rule: What a cluster heals by itself costs no acknowledged write

    @smoke
    Scenario: Clients are served again after pods were killed and the machine was drained
      When the primary cluster suffers a killed database pod
      Then clients are served again
      When the primary cluster suffers a drained machine
      Then clients are served again
      And no acknowledged write is lost

  Rule: What it cannot heal is brought back elsewhere

    @destroys_site
    Scenario: A database whose volume is lost comes back on a DR cluster whose control plane was away
      Given an earlier backup
      When the volume of the primary's database is lost
      And the estate is recovered although the DR control plane is away at first
      Then the promise is kept
      And no pod of the DR cluster reaches the world

  Rule: A DR cluster that cannot take over says what it lacks

    @destroys_site
    Scenario Outline: Recovery stops when <lack>
      Given an earlier backup
      When the primary site is lost
      And recovery is attempted although <lack>
      Then the recovery failed, naming <cause>
      And the drill is judged BROKEN

      Examples:
        | lack                                    | cause                       |
        | an image is missing in the DR cluster   | the missing image           |
        | the DR cluster holds a wrong password   | the refused password        |
        | the DR cluster has no room for a pod    | the pod that found no place |
        | the DR control plane never comes back   | the control plane           |
