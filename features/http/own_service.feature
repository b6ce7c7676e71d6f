@full @brief @destroys_site
Feature: A program of your own is drilled by declaring it
  A service of your own is a table in the declaration, not code.

  Scenario: A guestbook of your own is recovered
    Given the "site loss, one machine" promise
    And a healthy guestbook estate under client load
    And an earlier backup
    When the primary site is lost
    And the estate is recovered
    Then the promise is kept
    And the key function of "guestbook" passed
