@full @brief @destroys_site
Feature: A program of the reader's own is drilled by declaring it
  Another service is a table in the estate's declaration, not code.

  Scenario: A guestbook of one's own is brought back
    Given the "site loss, rehearsed" promise
    And a healthy guestbook estate with clients at work
    And an earlier backup
    When the primary site is lost
    And the estate is recovered
    Then the promise is kept
    And the key function of "guestbook" held
