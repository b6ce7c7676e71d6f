@full @brief
Feature: A bad front-door configuration is refused
  On the worst day nobody proof-reads. The door checks for itself, and the old configuration serves on.

  Scenario: A bad configuration is refused and the old one serves on
    Given the "site loss, rehearsed" promise
    And a healthy notification estate with clients at work
    When the front door is given a bad configuration
    Then it is refused, naming the mistake
    And clients are still served by the primary site
