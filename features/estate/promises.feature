@full @destroys_site
Feature: A broken promise is detected
  A drill that cannot fail proves nothing. Each kind of broken promise must be detected.

  Rule: A missed promise is BROKEN

    Scenario: A recovery that takes too long breaks the RTO
      Given the "service back at once" promise
      And a healthy notification estate under client load
      And an earlier backup
      When the primary site is lost
      And the estate is recovered
      Then the drill is judged BROKEN because of the RTO

    Scenario: Too many lost writes break the RPO
      Given the "hardly a write lost" promise
      And a healthy notification estate under client load
      And the database suffers "a table that is locked for three seconds"
      And an earlier backup
      When the primary site is lost
      And the estate is recovered
      Then the drill is judged BROKEN because of the RPO
      And the lost writes are named by number

  Rule: A drill that could not be carried out is UNKNOWN, never KEPT

    Scenario: A strike without effect proves nothing
      Given the "site loss, one machine" promise
      And a healthy notification estate under client load
      And an earlier backup
      When the primary suffers "a strike without effect"
      Then the drill is judged UNKNOWN

    @brief
    Scenario: A strike on another estate is refused
      Given the "site loss, one machine" promise
      And a healthy notification estate under client load
      When the drill suffers "a wrong target"
      Then the strike is refused and clients are still served
