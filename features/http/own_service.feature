@full @brief @destroys_site
Feature: Your own program is drilled by declaring it
  A service of your own needs a table in estate.toml and no code.

  Scenario: A guestbook of your own is recovered
    Given the "site loss, one machine" promise
    And a healthy guestbook estate under client load
    And an earlier backup
    When the primary site is lost
    And the estate is recovered
    Then the promise is kept
    And the key function of "guestbook" passed
