@full @destroys_site @severity:critical @control:NIST-CP-10
Feature: Restored programs reach nothing outside the DR site
  A restored copy of production has mail servers and schedules that lead to the world. Containment knows those of some
  programs; the wall around the DR site refuses whatever a program tries, and the record counts it.

  @apps
  Scenario: A mail server of Odoo and a schedule of n8n that are live again reach nothing
    Given the "site loss, seconds of writes" promise
    And a healthy estate under client load
    And an earlier backup
    When the primary site is lost
    And the estate is recovered
    And the restored programs call an address outside
    Then no call got through the wall and each was counted
    And the promise is kept

  @brief
  Scenario: A program of your own reaches nothing
    Given the "site loss, one machine" promise
    And a healthy guestbook estate under client load
    And an earlier backup
    When the primary site is lost
    And the estate is recovered
    And the restored programs call an address outside
    Then no call got through the wall and each was counted
    And the promise is kept
