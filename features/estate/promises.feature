@full @destroys_site
Feature: A promise that was not kept is found out
  A drill that cannot fail proves nothing: each way of missing a promise is shown to be seen.

  Rule: A missed promise is BROKEN

    Scenario: Service that is back too late breaks the RTO
      Given the "service back at once" promise
      And a healthy notification estate with clients at work
      And an earlier backup
      When the primary site is lost
      And the estate is recovered
      Then the drill is judged BROKEN because of the RTO

    Scenario: Writes that were lost break the RPO
      Given the "hardly a write lost" promise
      And a healthy notification estate with clients at work
      And a backup that was held up for 3 seconds
      When the primary site is lost
      And the estate is recovered
      Then the drill is judged BROKEN because of the RPO
      And the lost writes are named by number

  Rule: A drill that could not be carried out is UNKNOWN, never KEPT

    Scenario: A strike without effect proves nothing
      Given the "site loss, rehearsed" promise
      And a healthy notification estate with clients at work
      And an earlier backup
      When a strike has no effect
      Then the drill is judged UNKNOWN

    @brief
    Scenario: A strike on another estate is refused
      Given the "site loss, rehearsed" promise
      And a healthy notification estate with clients at work
      When the site to be struck is not the drill's target
      Then the strike is refused and clients are still served
