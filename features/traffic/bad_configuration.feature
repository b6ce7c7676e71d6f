@full @brief
Feature: A bad front-door configuration is refused
  The front door validates a new configuration. If it is invalid, the old configuration stays in service.

  Scenario: A bad configuration is refused and the old one stays in service
    Given the "site loss, one machine" promise
    And a healthy notification estate under client load
    When the front door suffers "a bad configuration"
    Then it failed, naming "nonsense"
    And clients are still served by the primary site
