@full @apps @destroys_site
Feature: A shop without its files is not recovered
  Odoo's health check answers 200 even when every attachment is empty.

  Scenario: Odoo without its filestore is detected
    Given the "site loss, one machine" promise
    And a healthy shop estate under client load
    And an earlier backup
    When the primary site is lost
    And recovery is attempted with "the shop's files are lost"
    Then the key function "known attachment" failed
    And the drill is judged BROKEN
