@full @destroys_site @severity:critical @control:NIST-CP-10 @control:ISO22301-8.5 @control:DORA-11
Feature: Clients are led back to the rebuilt primary site
  After a site loss clients write to the DR site. The way back loses nothing of that, and has a promise of its own.

  Scenario Outline: The rebuilt primary takes over from the DR site of the <estate> estate
    Given the "<promise>" promise
    And a healthy <estate> estate under client load
    And the primary site was lost and the estate recovered on the DR site
    When clients write to the DR site
    And the daily backup of the DR site has run
    And the DR site is taken out of service
    And the rebuilt primary site recovers from the last backup of the DR site
    Then the promise is kept
    And clients are served by the rebuilt primary site
    And nothing that clients wrote to the DR site is lost
    And the record is complete

    Examples: of dumps
      | estate       | promise                |
      | notification | site loss, one machine |

    Examples: of base backups and WAL
      | estate   | promise                      |
      | archived | site loss, seconds of writes |

    @apps
    Examples: with orders, workflows and their files
      | estate  | promise                      |
      | example | site loss, seconds of writes |
