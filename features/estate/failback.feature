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

    @night
    Examples: of dumps
      | estate       | promise                |
      | notification | site loss, one machine |

    Examples: of base backups and WAL
      | estate   | promise                      |
      | archived | site loss, seconds of writes |

    @apps @night
    Examples: with orders, workflows and their files
      | estate  | promise                      |
      | example | site loss, seconds of writes |

  @needs_processes
  Scenario Outline: The old primary of the <estate> estate was fenced, and its rewound database server takes over
    Given the "<promise>" promise
    And a healthy <estate> estate under client load
    And the primary site was fenced and the estate recovered on the DR site
    And the old primary took a write that nobody else has
    And only the data of its database server are kept
    And the way back has the "a rewound primary takes over" promise
    When clients write to the DR site, under the promise of the way back
    And the old primary's database server is rewound and follows the DR site
    And the daily backup of the DR site has run
    And the DR site is taken out of service
    And the rebuilt primary site takes over with the rewound server and the last backup of the DR site
    Then the promise is kept
    And the databases are those of the rewound server
    And clients are served by the rebuilt primary site
    And nothing that clients wrote to the DR site is lost
    And nothing that the old primary took alone has come back
    And the record is complete

    Examples: of a warm standby that was promoted
      | estate  | promise              |
      | standby | a standby takes over |

    @apps
    Examples: with orders, workflows and their files
      | estate  | promise                      |
      | example | site loss, seconds of writes |
