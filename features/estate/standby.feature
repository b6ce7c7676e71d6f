@full @destroys_site @severity:critical @control:NIST-CP-10 @control:ISO22301-8.5 @control:DORA-11
Feature: A warm standby of the database server is promoted when the primary site is lost
  Before the disaster the DR site has a copy of the primary's database server, made from the newest base backup, which
  follows the WAL in the repository. A standby that cannot be trusted is not used: a base backup is restored.

  Background:
    Given the "a standby takes over" promise
    And a healthy standby estate under client load
    And the daily backup has run on schedule
    And the standby follows the primary

  Scenario: A lost primary site is recovered by its standby
    When the primary site is lost
    And the estate is recovered
    Then the promise is kept
    And the databases are those of the standby
    And every message of the mission was seen

  Scenario Outline: A base backup is restored when the standby suffered "<damage>"
    Given the standby suffers "<damage>"
    When the primary site is lost
    And the estate is recovered
    Then the drill is judged BROKEN
    And the databases were restored in the mode that the estate declares
    And the record names "<reason>"

    Examples: damaged
      | damage                    | reason       |
      | a flipped bit in its data | pg_checksums |

    @night
    Examples: left behind
      | damage                    | reason                    |
      | the death of its follower | its follower does not run |
