@full @destroys_site @severity:critical @control:NIST-CP-9 @control:NIST-CP-10 @control:ISO22301-8.5 @control:DORA-11
Feature: Dumps are the second, independent way to restore the databases
  A base backup and its WAL may be unusable, for a reason that nobody foresaw. The dumps of the same estate are restored
  then, with the writes since the last of them lost.

  @apps
  Scenario: A lost primary site is recovered from its dumps alone
    Given the "site loss, one machine" promise
    And a healthy estate with dumps alone under client load
    And the daily backup has run on schedule
    When the primary site is lost
    And the estate is recovered
    Then the promise is kept
    And every message of the mission was seen
    And the databases were restored from the dumps

  Scenario Outline: The dumps are restored when <what> suffered "<damage>"
    Given the "site loss, one machine" promise
    And a healthy archived estate under client load
    And an earlier backup
    And <what> suffers "<damage>"
    When the primary site is lost
    And the estate is recovered
    Then the drill is judged BROKEN
    And the databases were restored from the dumps
    And the record names "the dumps are restored"

    Examples: a base backup
      | what              | damage        |
      | the newest backup | a flipped bit |

    @night
    Examples: the WAL
      | what           | damage                   |
      | the repository | a missing segment of WAL |
