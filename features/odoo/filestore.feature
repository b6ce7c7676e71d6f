@full @apps @destroys_site
Feature: A shop without its files is not a shop
  Odoo's own health says yes while every attachment is empty.

  Scenario: Odoo without its filestore is found out
    Given the "site loss, rehearsed" promise
    And a healthy shop estate with clients at work
    And an earlier backup
    When the primary site is lost
    And recovery is attempted while the shop's files are lost
    Then the key function "known attachment" failed
    And the drill is judged BROKEN
