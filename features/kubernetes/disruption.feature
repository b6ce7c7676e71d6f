@full @brief @needs_kubernetes @control:NIST-CP-10 @control:ISO27001-A.8.14
Feature: A Kubernetes fault is healed or reported
  Clusters heal many faults by themselves. A fault that they cannot heal is reported with its cause before a timeout.

  Background:
    Given the "site loss, one machine" promise
    And a healthy notification estate under client load

  Rule: A fault that a cluster heals by itself loses no acknowledged write

    @smoke
    Scenario: Clients are served again after pods were killed and the node was drained
      When the primary cluster suffers "a killed database pod"
      Then clients are served again
      When the primary cluster suffers "a drained node"
      Then clients are served again
      And no acknowledged write is lost

  Rule: A fault that a cluster cannot heal is recovered on the DR site

    @destroys_site
    Scenario: A lost database volume is recovered on a DR cluster although its control plane was unavailable
      Given an earlier backup
      When the primary suffers "the loss of its database volume"
      And the DR site suffers "a control plane that is unavailable for ten seconds"
      And the estate is recovered
      Then the promise is kept
      And egress traffic of the DR cluster is blocked

  Rule: A DR cluster that cannot take over reports the cause

    @destroys_site
    Scenario Outline: Recovery stops when <fault>
      Given an earlier backup
      When the primary site is lost
      And recovery is attempted with "<fault>"
      Then it failed, naming "<cause>"
      And the drill is judged BROKEN

      Examples:
        | fault                                  | cause                          |
        | an image is missing in the DR cluster  | notifier                       |
        | the DR cluster has a wrong password    | password authentication failed |
        | the DR node is cordoned                | unschedulable                  |
        | the DR control plane stays unavailable | API server does not answer     |
