@full @destroys_site
Feature: The gallery survives the loss of its primary site
  Its rows, its photos on disk and its scans in a bucket are recovered, and its visitors see them.

  Background:
    Given the "gallery" promise
    And a healthy estate under client load
    And an earlier backup

  @brief
  Scenario: The gallery is recovered within its promise
    When the primary site is lost
    And the estate is recovered
    Then the promise is kept
    And the key function of "gallery" passed

  Scenario: Photos that are lost on the DR site are noticed
    When the primary site is lost
    And recovery is attempted with "the uploads are lost"
    Then the key function "its photo can be downloaded" failed
    And the drill is judged BROKEN
